"""What flows (`records`), where (`catalogue`), under which keys (`keys`) and as which bytes (`codec`)."""
