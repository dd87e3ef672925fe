package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/storage/raftlog"
)

// What a data directory holds beside node.json and LOCK.
const (
	votesFile = "votes.db"
	logDir    = "log"
	groupsDir = "groups"
	metaDir   = "meta"
	jobsFile  = "jobs.jsonl"
	// asideDir keeps what belonged to an incarnation that ended, by its id, until
	// an operator removes it.
	asideDir = "set-aside"
)

// errForgot is wrapped when a node has forgotten what it promised and there is
// nobody who could take it in again.
var errForgot = errors.New("this node has forgotten its votes")

// forgotten are the errors of a file whose promises nobody knows any more.
var forgotten = []error{raftlog.ErrVotesMissing, raftlog.ErrDamaged, directory.ErrStateLost}

// openVotes opens the vote file. Where it is lost as a whole in a used
// directory, or what the meta group has on disk, this node has forgotten whom it voted for: it
// may never answer under its old id again, and goes on as a new incarnation.
func (n *Node) openVotes() error {
	used := n.identity.get().ClusterID != "" && !n.identity.get().fresh()
	var why error
	if used {
		why = directory.Examine(filepath.Join(n.cfg.DataDir, metaDir), n.identity.get().Joined)
	}
	if why == nil {
		why = n.tryVotes(used)
	}
	if used && slices.ContainsFunc(forgotten, func(e error) bool { return errors.Is(why, e) }) {
		if err := n.renew(why); err != nil {
			return err
		}
		why = n.tryVotes(false)
	}
	if why != nil {
		return fmt.Errorf("open the votes: %w", why)
	}
	n.stages.add("votes", func(context.Context) error { return n.votes.Close() })
	return nil
}

func (n *Node) tryVotes(mustExist bool) (err error) {
	n.votes, err = raftlog.OpenVotes(filepath.Join(n.cfg.DataDir, votesFile), raftlog.VotesOptions{MustExist: mustExist, Fatal: n.fatal, Logger: n.log})
	return err
}

// renew ends this incarnation: the next one has the name and the cluster of the
// old, and nothing else. The new identity is on disk before anything is moved,
// so that a crash in between leaves nothing that runs under the old one; the
// vote file goes last, so that such a crash is met here again.
func (n *Node) renew(why error) error {
	old := n.identity.get()
	if len(old.Peers) == 0 {
		return fmt.Errorf("%w: %w; it is the only node of its cluster, so nobody can take it in again (hint: put the file back from a backup)", errForgot, why)
	}
	aside := filepath.Join(n.cfg.DataDir, asideDir, old.NodeID().String())
	n.log.Warn("this node goes on as a new incarnation and gets its replicas anew: what it promised under the old one is lost",
		"why", why, "old", old.NodeID().String(), "set_aside", aside)
	if err := n.identity.update(func(id *Identity) {
		id.Incarnation, id.Founder, id.Joined, id.Promised = membership.NewIncarnation(), false, false, nil
	}); err != nil {
		return err
	}
	n.id = n.identity.get().NodeID()
	if err := os.MkdirAll(aside, 0o750); err != nil {
		return fmt.Errorf("set the old incarnation's data aside: %w", err)
	}
	for _, what := range []string{groupsDir, logDir, metaDir, votesFile} {
		err := os.Rename(filepath.Join(n.cfg.DataDir, what), filepath.Join(aside, what))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set the old incarnation's data aside: %w", err)
		}
	}
	return errors.Join(syncDir(aside), syncDir(n.cfg.DataDir))
}
