"""What goes wrong on purpose: the table of bad inputs, the soak run, and the page that reports both."""
