"""The bundled demo call: two tracks, their reference and the policies that they trigger."""
