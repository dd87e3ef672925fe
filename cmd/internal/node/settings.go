package node

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
)

// found makes a cluster of this node alone. It begins with the settings that its
// founder was started with; what is set already is an earlier attempt's, or an
// operator's.
func (n *Node) found(ctx context.Context, clusterID string) error {
	if err := n.dir.Bootstrap(ctx, clusterID, n.cfg.Coordinator.TotalGroups); err != nil {
		return n.explain(err)
	}
	values := n.cfg.ClusterValues()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if _, set := n.dir.Table().Settings[key]; set {
			continue
		}
		if err := n.retry(ctx, "write the settings of the new cluster", func() error { return n.dir.SetSetting(ctx, key, values[key]) }); err != nil {
			return err
		}
	}
	return nil
}

// adoptFixed writes down how long a window of this cluster is, before the first
// shard is made, and tells where this node was asked for another. Its founder
// has settled that.
func (n *Node) adoptFixed() error {
	window := n.policyConfig().Storage.Window
	want := n.askedFor()
	if want.window != 0 && want.window != window {
		n.log.Warn("storage.window is what it was when the cluster was made", "asked", want.window, "is", window)
	}
	if total := n.dir.Table().TotalGroups; want.totalGroups != 0 && want.totalGroups != total {
		n.log.Warn("coordinator.total_groups is what it was when the cluster was made", "asked", want.totalGroups, "is", total)
	}
	return n.identity.update(func(id *Identity) { id.Window = config.FormatDuration(window) })
}

// window is the length of a window in this cluster.
func (n *Node) window() time.Duration {
	if text := n.identity.get().Window; text != "" {
		if d, err := config.ParseDuration(text); err == nil {
			return d
		}
	}
	return n.cfg.Storage.Window
}
