"""How the plan between two region graphs is sought."""
