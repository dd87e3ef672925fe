package resyncbench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/flotilla-db/flotilla/storage"
)

// The filler.
//
// The nodes are stopped, and their shards hold equal data. For each group:
//
//  1. read where the shard of every node stands
//  2. choose one place for all of them, far above any entry of their logs, in the lowest of their terms: no node has
//     promised to ignore that one
//  3. apply the points to the first node's shard as if the log had brought them there, and compute the digests
//  4. copy its file to the other nodes: nothing that is node-local is in it
//
// At the next start each node finds a log that ends below the record of its shard, drops it, and goes on behind it, as
// after an install. Entries that only the log held are lost, which is why this is for benchmarks alone.

// jump is how far above its data a filled shard is placed: above everything that the logs of a benchmark hold.
const jump = 1 << 24

// fillers is how many shards are written at once.
const fillers = 8

func shardPath(dataDir string, group uint32) string {
	return filepath.Join(dataDir, "groups", strconv.FormatUint(uint64(group), 10), "shard.db")
}

// openShard opens the file of a stopped node.
func openShard(dataDir string, group uint32) (*storage.Shard, error) {
	return storage.OpenShard(storage.Options{Path: shardPath(dataDir, group), Identity: storage.Identity{Group: group}, SkipCheck: true})
}

// placeOf is the place to which the shards of all these nodes can be brought.
func placeOf(dirs []string, group uint32) (storage.Position, error) {
	var place storage.Position
	for _, dir := range dirs {
		s, err := openShard(dir, group)
		if err != nil {
			return place, err
		}
		at := s.Applied()
		if err := s.Close(); err != nil {
			return place, err
		}
		if at.Index == 0 {
			return place, fmt.Errorf("group %d holds nothing in %s: it was never written", group, dir)
		}
		place.Index = max(place.Index, at.Index)
		if place.Term == 0 || at.Term < place.Term {
			place.Term = at.Term
		}
	}
	place.Index += jump
	return place, nil
}

// change is what is applied to one group: entries of commands, the last of which comes to the chosen place.
type change func(group uint32) [][]byte

// below applies a change to groups of nodes that are stopped. Each group done is told to tick.
func below(ctx context.Context, dirs []string, groups []uint32, c change, tick func()) error {
	next := make(chan uint32)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	for range fillers {
		wait.Go(func() {
			for group := range next {
				if err := belowOne(ctx, dirs, group, c(group)); err != nil {
					cancel(fmt.Errorf("fill group %d: %w", group, err))
					return
				}
				tick()
			}
		})
	}
	for _, group := range groups {
		select {
		case next <- group:
		case <-ctx.Done():
		}
	}
	close(next)
	wait.Wait()
	return context.Cause(ctx)
}

func belowOne(ctx context.Context, dirs []string, group uint32, entries [][]byte) error {
	place, err := placeOf(dirs, group)
	if err != nil {
		return err
	}
	s, err := openShard(dirs[0], group)
	if err != nil {
		return err
	}
	if err := errors.Join(applyAt(ctx, s, place, entries), s.Close()); err != nil {
		return err
	}
	for _, dir := range dirs[1:] {
		if err := copyFile(shardPath(dir, group), shardPath(dirs[0], group)); err != nil {
			return err
		}
	}
	return nil
}

// applyAt ends with digests of all leaves: a copy that has to hash first is another measurement.
func applyAt(ctx context.Context, s *storage.Shard, place storage.Position, entries [][]byte) error {
	for i, data := range entries {
		index := place.Index - uint64(len(entries)-1-i)
		for _, err := range s.Apply([]storage.Entry{{Index: index, Term: place.Term, Data: data}}) {
			if err != nil {
				return err
			}
		}
	}
	v, err := s.Look(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	_, _, err = v.Root(ctx)
	return err
}

func copyFile(to, from string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	file, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, source)
	if err == nil {
		err = file.Sync() // what is written back later would disturb what is measured
	}
	return errors.Join(err, file.Close())
}

// fill is the change that brings all points.
func (sh shape) fill(series *[totalGroups]seriesBySlot, seed uint64) change {
	return func(group uint32) [][]byte {
		entries := make([][]byte, windows)
		for w := range entries {
			entries[w] = storage.AppendPut(nil, sh.window(&series[group], group, w, seed))
		}
		return entries
	}
}
