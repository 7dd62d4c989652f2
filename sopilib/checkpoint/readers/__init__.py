"""Readers of file formats that older systems left behind: pickles, torch's files, TensorFlow's bundles. They never run
what a file says."""
