package raftlog

// syncDir does nothing: Windows has no sync of directories, NTFS journals names by itself.
func syncDir(string) error { return nil }
