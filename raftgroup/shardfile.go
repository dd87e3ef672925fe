package raftgroup

import (
	"errors"
	"fmt"
	"os"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// identity is what a shard's file of this node and group must say.
func (h *Host) identity(group uint32, lineage string) storage.Identity {
	return storage.Identity{ClusterID: h.config.ClusterID, Group: group, Lineage: lineage}
}

// shardOptions are those with which this node opens a shard's file.
func (h *Host) shardOptions(group uint32, lineage string) storage.Options {
	o := storage.Options{
		Path:     h.shardPath(group),
		Identity: h.identity(group, lineage),
		Window:   h.config.Window,
		Budget:   h.config.Budget,
		Logger:   h.config.Logger.With("group", group),
		Turns:    h.config.Turns,
		Fatal:    h.config.Fatal,
		Damaged:  func(err error) { h.damaged(group, err) },
		BadLeaf:  func(leaf digest.Leaf, err error) { h.badLeaf(group, leaf, err) },
	}
	if h.config.TuneShard != nil {
		h.config.TuneShard(&o)
	}
	return o
}

// openQuietly opens the shard's file of a group that does not run, whatever
// lineage it is of, and gives that. Nil where there is none, or none that can be
// read or may be used.
func (h *Host) openQuietly(group uint32) (*storage.Shard, string, error) {
	if _, err := os.Stat(h.shardPath(group)); errors.Is(err, os.ErrNotExist) {
		return nil, "", nil
	}
	if why, err := h.quarantined(group); why != "" || err != nil {
		return nil, "", err
	}
	o := h.shardOptions(group, "")
	o.Damaged, o.BadLeaf = nil, nil // who asks is told; nothing runs that could be stopped
	shard, err := storage.OpenShard(o)
	switch {
	case errors.Is(err, storage.ErrDamaged), errors.Is(err, storage.ErrIdentity):
		return nil, "", nil
	case err != nil:
		return nil, "", fmt.Errorf("open shard of group %d: %w", group, err)
	}
	held, err := h.suspected(group)
	switch {
	case errors.Is(err, errSuspectMark):
		return nil, "", shard.Close()
	case err != nil:
		return nil, "", errors.Join(err, shard.Close())
	}
	distrust(shard, suspicions{}, held) // what its digests say of those leaves counts for nothing
	id, err := shard.Identity()
	switch {
	case errors.Is(err, storage.ErrDamaged):
		return nil, "", shard.Close()
	case err != nil:
		return nil, "", errors.Join(err, shard.Close())
	}
	return shard, id.Lineage, nil
}

// durable is what the shard's file of a group that does not run holds, and of
// which lineage; zero where there is none that can be read.
func (h *Host) durable(group uint32) (storage.Durable, string, error) {
	shard, lineage, err := h.openQuietly(group)
	if shard == nil || err != nil {
		return storage.Durable{}, "", err
	}
	d := shard.Durable()
	return d, lineage, shard.Close()
}

// Stored is the report of a group that this node does not run, and has a shard's
// file of that can be used: of an adopted clone, where nobody has assigned it yet.
func (h *Host) Stored(group uint32) (Report, bool, error) {
	if _, open := h.Group(group); open || h.removed(group) {
		return Report{}, false, nil
	}
	d, lineage, err := h.durable(group)
	if err != nil || d.Index == 0 {
		return Report{}, false, err
	}
	r := Report{
		Group: group, Server: h.config.Self.Server(0), Lineage: lineage, HasData: true, Applied: d.Position,
		First: d.Index + 1, Last: d.Index,
	}
	if info, err := os.Stat(h.shardPath(group)); err == nil {
		r.Bytes = info.Size()
	}
	return r, true, nil
}

// durableAt is what a file holds that must be of an identity.
func (h *Host) durableAt(path string, id storage.Identity) (storage.Durable, error) {
	if _, err := os.Stat(path); err != nil {
		return storage.Durable{}, fmt.Errorf("look at %s: %w", path, err)
	}
	o := h.shardOptions(id.Group, id.Lineage)
	o.Path, o.Damaged, o.BadLeaf = path, nil, nil
	shard, err := storage.OpenShard(o)
	if err != nil {
		return storage.Durable{}, fmt.Errorf("look at %s: %w", path, err)
	}
	d := shard.Durable()
	return d, shard.Close()
}
