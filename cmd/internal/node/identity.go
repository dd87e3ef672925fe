package node

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

// identityFile holds who a data directory belongs to; it is written whole and
// renamed into place, so that it is either absent or complete.
const identityFile = "node.json"

// identityFormat is the version of the data directory's layout.
const identityFormat = 1

// ErrNotOurs is wrapped when a data directory holds something else, or belongs
// to another node or cluster. Nothing in it was changed.
var ErrNotOurs = errors.New("data directory is not ours")

// Identity is what a data directory says of itself.
type Identity struct {
	Format      int       `json:"format"`
	Name        string    `json:"name"`
	Incarnation string    `json:"incarnation"`
	Cluster     string    `json:"cluster"`    // gossip label
	ClusterID   string    `json:"cluster_id"` // "" until the node is part of a cluster
	CreatedAt   time.Time `json:"created_at"`
	// Founder is true on the node that made the cluster.
	Founder bool `json:"founder,omitempty"`
	// Joined is true once the meta group has counted this node as a member.
	Joined bool `json:"joined,omitempty"`
	// Window is the length of a window in this cluster, fixed when it was made;
	// "" until the node has joined.
	Window string `json:"window,omitempty"`
	// TotalGroups is fixed in the same way; 0 until the node has joined.
	TotalGroups uint32 `json:"total_groups,omitempty"`
	// LogEngine wrote the logs of this directory: no other can read them. "" in
	// directories of before it was recorded.
	LogEngine string `json:"log_engine,omitempty"`
	// Peers are the gossip addresses of the other nodes, as last known: what is
	// left of the cluster when everything else is lost.
	Peers []string `json:"peers,omitempty"`
	// Promised is the set of nodes that this node has promised to make a
	// cluster with (--bootstrap-expect); empty for none.
	Promised []string `json:"promised,omitempty"`
	// Adopted says that the directory is a copy of another node's.
	Adopted *Adoption `json:"adopted,omitempty"`
	// GossipAddr is where the node could be reached last: a process that answers
	// there under its id, while this one runs elsewhere, is its twin.
	GossipAddr string `json:"gossip_addr,omitempty"`
}

// NodeID is the membership id of the directory.
func (id Identity) NodeID() membership.NodeID {
	return membership.NodeID{Name: id.Name, Incarnation: id.Incarnation}
}

// asked is what the operator asked for; a zero field takes what the data
// directory says.
type asked struct {
	name, cluster, engine string
	window                time.Duration
	totalGroups           uint32
}

// openIdentity reads the identity of dir, or makes a new one where dir is empty
// (but for the lock), with the fallback for what was not asked for.
func openIdentity(dir string, want, fallback asked) (Identity, error) {
	id, err := readIdentity(dir, want)
	if errors.Is(err, fs.ErrNotExist) {
		return createIdentity(dir, want, fallback)
	}
	if err != nil || id.LogEngine != "" {
		return id, err
	}
	if id.LogEngine, err = inferEngine(dir, want.engine, fallback.engine); err != nil {
		return Identity{}, err
	}
	return id, writeIdentity(dir, id)
}

// readIdentity reads and checks; nothing is changed.
func readIdentity(dir string, want asked) (Identity, error) {
	raw, err := os.ReadFile(filepath.Join(dir, identityFile))
	if err != nil {
		return Identity{}, fmt.Errorf("read node identity: %w", err)
	}
	var id Identity
	if err := json.Unmarshal(raw, &id); err != nil {
		return Identity{}, fmt.Errorf("%w: %s in %s is unreadable: %v (hint: restore the file, or give an empty --data-dir)", ErrNotOurs, identityFile, dir, err)
	}
	if err := checkIdentity(id, dir, want); err != nil {
		return Identity{}, err
	}
	return id, checkFixed(id, dir, want)
}

func checkIdentity(id Identity, dir string, want asked) error {
	if id.Format != identityFormat {
		return fmt.Errorf("%w: %s has format %d, this binary knows %d (hint: use the binary that wrote it)", ErrNotOurs, dir, id.Format, identityFormat)
	}
	if err := id.NodeID().Validate(); err != nil {
		return fmt.Errorf("%w: %s: %v", ErrNotOurs, dir, err)
	}
	if want.name != "" && id.Name != want.name {
		return fmt.Errorf("%w: %s belongs to node %q, not to %q (hint: --name %s, or another --data-dir)", ErrNotOurs, dir, id.Name, want.name, id.Name)
	}
	if want.cluster != "" && id.Cluster != want.cluster {
		return fmt.Errorf("%w: %s belongs to cluster %q, not to %q (hint: --cluster %s, or another --data-dir)", ErrNotOurs, dir, id.Cluster, want.cluster, id.Cluster)
	}
	return nil
}

// examine finds out, without leaving a trace, whether a directory can be used:
// one of a node, whose identity is sound and not another than was asked for, or
// an empty one.
func examine(dir string, want asked) error {
	_, err := readIdentity(dir, want)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return refuseForeign(dir)
	}
	return err
}

func refuseForeign(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read data directory: %w", err)
	}
	for _, e := range entries {
		switch e.Name() {
		case lockFile, "lost+found": // the latter is what a fresh ext4 mount holds
		default:
			return fmt.Errorf("%w: %s is not empty and has no %s (hint: give an empty --data-dir)", ErrNotOurs, dir, identityFile)
		}
	}
	return nil
}

func createIdentity(dir string, want, fallback asked) (Identity, error) {
	if err := refuseForeign(dir); err != nil {
		return Identity{}, err
	}
	id := Identity{
		Format: identityFormat, Name: cmp.Or(want.name, fallback.name), Incarnation: membership.NewIncarnation(),
		Cluster: cmp.Or(want.cluster, fallback.cluster), CreatedAt: time.Now().UTC(),
		LogEngine: cmp.Or(want.engine, fallback.engine),
	}
	return id, writeIdentity(dir, id)
}

// writeIdentity replaces the file so that a power cut leaves the old or the new one.
func writeIdentity(dir string, id Identity) error {
	raw, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("encode node identity: %w", err)
	}
	tmp, err := os.CreateTemp(dir, identityFile+".tmp-")
	if err != nil {
		return fmt.Errorf("write node identity: %w", err)
	}
	defer os.Remove(tmp.Name()) // fails once it is renamed
	_, err = tmp.Write(append(raw, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write node identity: %w", err)
	}
	if err := os.Rename(tmp.Name(), filepath.Join(dir, identityFile)); err != nil {
		return fmt.Errorf("write node identity: %w", err)
	}
	return syncDir(dir)
}
