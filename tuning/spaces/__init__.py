"""What is searched, a file a task."""
