package raftgroup

import (
	"fmt"
	"os"
	"time"
)

// folderMark is in the names of folders that lay in the place of a shard's file.
const folderMark = ".folder-"

// clearFolder takes away what lies in the place of a shard's file and is a folder:
// no file could be opened there, nor a copy be put. It stays beside it, whoever put
// it there, and the shard is missing.
func (h *Host) clearFolder(group uint32) error {
	path := h.shardPath(group)
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return nil // nothing, or what opening it will tell about
	}
	to := path + folderMark + time.Now().UTC().Format(exhibitTimes)
	if err := os.Rename(path, to); err != nil {
		return fmt.Errorf("a folder is in the place of the shard of group %d, and does not go: %w", group, err)
	}
	h.config.Logger.Error("a folder was in the place of the shard: the shard is missing", "group", group, "folder", to)
	return nil
}
