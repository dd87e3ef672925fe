package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/syncing"
	"github.com/flotilla-db/flotilla/membership"
)

// A copied data directory becomes that of a new node (--adopt-clone): its shards
// stay as they are, with what they have applied; all that the original promised
// under its own id goes, since two nodes must never answer for one.

// errNoClone is wrapped when there is nothing to adopt, or nobody to join.
var errNoClone = errors.New("nothing to adopt")

// Adoption is how a data directory came by its identity, where it is a copy.
type Adoption struct {
	From string    `json:"from"` // name.incarnation of the original
	Dir  string    `json:"dir"`  // where the copy was adopted: a copy of it lies elsewhere
	At   time.Time `json:"at"`
	// Cleaning is true until what belongs to the original has been removed.
	Cleaning bool `json:"cleaning,omitempty"`
}

// adoptClone makes the directory one of a new node, unless that was done here before.
// The new identity is on disk before anything is removed: a start that is cut
// short goes on with the removal.
func adoptClone(dir string, want asked) error {
	unnamed := want
	unnamed.name = ""
	id, err := readIdentity(dir, unnamed)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s is no copy of a node's directory (hint: leave --adopt-clone out for a new node)", errNoClone, dir)
	case err != nil:
		return err
	case id.ClusterID == "":
		return fmt.Errorf("%w: the node of %s was in no cluster (hint: give an empty --data-dir)", errNoClone, dir)
	}
	place, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("adopt %s: %w", dir, err)
	}
	name := id.Name
	if want.name != "" {
		name = want.name
	}
	if a := id.Adopted; a == nil || a.Dir != place || id.Name != name {
		original := id.NodeID().String()
		id.Name, id.Incarnation, id.CreatedAt = name, membership.NewIncarnation(), time.Now().UTC()
		id.Founder, id.Joined, id.Promised = false, false, nil
		id.GossipAddr = "" // the original's
		id.Adopted = &Adoption{From: original, Dir: place, At: id.CreatedAt, Cleaning: true}
		if err := writeIdentity(dir, id); err != nil {
			return err
		}
	}
	return finishAdoption(dir, id)
}

// notAdopted are the parts of a group's folder that stay: the shard, and that it
// is in quarantine.
var notAdopted = map[string]bool{"shard.db": true, "shard.db.quarantined": true}

// finishAdoption removes what belongs to the original. Its vote file goes last:
// without it nothing of the original could be taken for ours.
func finishAdoption(dir string, id Identity) error {
	if id.Adopted == nil || !id.Adopted.Cleaning {
		return nil
	}
	var errs []error
	for _, part := range []string{logDir, metaDir, jobsFile, syncing.RatesFile, asideDir, votesFile} {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, part)))
	}
	parts, err := filepath.Glob(filepath.Join(dir, groupsDir, "*", "*"))
	errs = append(errs, err)
	for _, path := range parts {
		if !notAdopted[filepath.Base(path)] {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("adopt %s: %w", dir, err)
	}
	adopted := *id.Adopted
	adopted.Cleaning = false
	id.Adopted = &adopted
	return writeIdentity(dir, id)
}

// refuseTwin ends the start while a process answers, where this node was last,
// under this node's id: the directory is a copy of its. Nothing was opened yet
// that could speak in its name. A twin that has moved meanwhile shows itself to
// gossip.
func (n *Node) refuseTwin(ctx context.Context) error {
	if last := n.identity.get().GossipAddr; last != "" && last != n.addrs.gossip {
		if err := n.gossip.CheckTwin(ctx, last); err != nil {
			return fmt.Errorf("%w (hint: stop that process, or start with --adopt-clone, which makes a new node of the copy)", err)
		}
	}
	return n.identity.update(func(id *Identity) { id.GossipAddr = n.addrs.gossip })
}

// twinWindow is how long a member may take to hear that another process had its
// identity before it.
const twinWindow = time.Second

// twin is told by gossip that another process has this node's identity. The one
// that came later ends.
func (n *Node) twin(err error) {
	if n.second() {
		n.fatal(fmt.Errorf("%w (hint: stop that process, or start with --adopt-clone, which makes a new node of the copy)", err))
		return
	}
	n.log.Error("another process runs on a copy of this node's data directory: stop it", "err", err)
}

// second reports whether another process that has this identity had it first.
func (n *Node) second() bool {
	since := n.memberSince.Load()
	return since == 0 || time.Since(time.Unix(0, since)) < twinWindow
}

// fresh reports whether the directory is of an incarnation that has not joined
// yet, though it holds a cluster's data.
func (id Identity) fresh() bool { return id.Adopted != nil && !id.Joined }
