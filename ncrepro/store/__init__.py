"""What is kept on disk, and what it rests on."""
