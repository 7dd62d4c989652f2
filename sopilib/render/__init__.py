"""Rendering offline: takes of a model, one or hundreds, as sound files.

plan    what takes there are to be: all that decides how they sound; the description that lies beside them
place   where they go: names, what is there already, what was half done
run     makes them: work units of one engine's voices, in threads, and writes the files
means   with how many voices and engines that is fastest here
"""
