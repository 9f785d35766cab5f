"""What every strategy promises, proved on a corpus made up for it: `leadboard check`."""
