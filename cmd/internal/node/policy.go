package node

import (
	"sync/atomic"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/membership/directory"
)

// policyBook keeps the configuration in force: this node's own, with the
// cluster-wide settings of the table. It is asked for each write, and made anew
// only for each table.
type policyBook struct{ last atomic.Pointer[policyOf] }

type policyOf struct {
	table  *directory.Table
	config *config.Config
}

// policyConfig is the configuration in force. It is shared: nobody changes it.
func (n *Node) policyConfig() *config.Config { return n.configAt(n.dir.Table()) }

func (n *Node) configAt(table *directory.Table) *config.Config {
	if last := n.policies.last.Load(); last != nil && last.table == table {
		return last.config
	}
	c, err := n.cfg.With(table.Settings)
	if err != nil {
		n.log.Warn("a cluster-wide setting is ignored", "err", err)
	}
	n.policies.last.Store(&policyOf{table, &c})
	return &c
}
