package node

import (
	"context"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/cmd/internal/node/syncing"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// newSyncs makes what runs this node's resyncs. The gateway that shows their rows
// is made after it.
func (n *Node) newSyncs() *syncing.Syncs {
	n.witnesses = newWitnesses(func(ctx context.Context, group uint32, cut, except string) {
		n.checks.Suspects.Witness(ctx, group, cut, except)
	})
	return syncing.New(syncing.Config{
		Self: n.id, Zone: n.cfg.Zone, ClusterID: func() string { return n.identity.get().ClusterID },
		DataDir: n.cfg.DataDir, GroupDir: n.groupDir, Window: n.window,
		Settings: func() config.Sync { return n.policyConfig().Storage.Sync }, Room: n.room,
		Groups: n.hosts.groups, Group: n.hosts.group, Known: n.hosts.known, Stored: n.hosts.stored, Look: n.hosts.look,
		Directory: n.dir, Streams: n.mux, Up: n.liveness.Up, Errand: n.errands.send,
		Rows: func() *gateway.Jobs { return n.gateway.Jobs() }, Proofs: proofs{n}, Governor: n.governor, Turns: n.turns, Hooks: n.opts.SyncHooks, Logger: n.log,
	})
}

// proofs are what resyncs have to do with checks. It implements syncing.Proofs.
type proofs struct{ node *Node }

func (p proofs) NoteProof(group uint32) { p.node.gateway.NoteProof(group) }

func (p proofs) Witness(group uint32, cut, except string) {
	p.node.witnesses.add(group, cut, except)
}

func (p proofs) Compare(ctx context.Context, group uint32) { p.node.checks.Schedule.Ask(ctx, group) }

// room is how many bytes a copy may write before the reserve is touched.
func (n *Node) room() (int64, error) {
	free, err := diskFree(n.cfg.DataDir)
	return max(0, free-n.cfg.Storage.DiskReserve), err
}
