package directory

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// guardedLogs ends the process when a write fails or hangs: what is on disk
// is unknown then, and raft would go on. And it keeps the log in one piece,
// which raft does not after a snapshot was installed:
//
//	entries that do not follow the last one come behind a snapshot:
//	  what is older goes, or there would be a hole that nothing sees
//	a deletion at the front leaves its last entry, the snapshot's, if others
//	  are behind it: without its term raft could not say whether those are
//	  the leader's, and would be sent the snapshot again and again
type guardedLogs struct {
	raft.LogStore
	fatal func(error)
}

// StoreLog implements raft.LogStore.
func (g *guardedLogs) StoreLog(l *raft.Log) error { return g.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (g *guardedLogs) StoreLogs(logs []*raft.Log) error {
	return guard(g.fatal, "append to the log of the meta group", func() error {
		first, last, err := g.ends()
		if err != nil {
			return err
		}
		if len(logs) > 0 && last > 0 && logs[0].Index > last+1 {
			if err := g.LogStore.DeleteRange(first, last); err != nil {
				return err
			}
		}
		return g.LogStore.StoreLogs(logs)
	})
}

// DeleteRange implements raft.LogStore.
func (g *guardedLogs) DeleteRange(from, through uint64) error {
	return guard(g.fatal, "truncate the log of the meta group", func() error {
		first, last, err := g.ends()
		if err != nil {
			return err
		}
		if from <= first && through < last {
			through--
		}
		if from > through {
			return nil
		}
		return g.LogStore.DeleteRange(from, through)
	})
}

func (g *guardedLogs) ends() (first, last uint64, err error) {
	if first, err = g.FirstIndex(); err == nil {
		last, err = g.LastIndex()
	}
	return first, last, err
}

func guard(fatal func(error), what string, write func() error) error {
	late := time.AfterFunc(appendDeadline, func() {
		fatal(fmt.Errorf("%s: the disk has not answered for %v", what, appendDeadline))
	})
	defer late.Stop()
	if err := write(); err != nil {
		err = fmt.Errorf("%s: %w", what, err)
		fatal(err)
		return err
	}
	return nil
}
