"""What runs in the customer's AWS account. `sam deploy` takes this folder alone: it imports nothing of ours."""
