package directory

import (
	"strconv"
	"time"

	"github.com/flotilla-db/flotilla/membership/placement"
)

// DefaultFactor is the default of replication.factor.
const DefaultFactor = 3

// Policy is what the leader's decisions need from the settings.
type Policy struct {
	Factor       int  // replicas of a group; with fewer nodes: all of them
	AutoAssigner bool // false: the assigner does nothing by itself
	// Poll is how often the assigner looks by itself; 0: Timers.Poll.
	Poll      time.Duration
	Placement placement.Options
}

// DefaultPolicy reads the settings replication.factor,
// coordinator.hash_threshold, coordinator.vnode_count and
// coordinator.auto_assigner.enabled from the table. What is absent or
// malformed has its default.
func DefaultPolicy(t *Table) Policy {
	return Policy{
		Factor:       positive(t.Settings["replication.factor"], DefaultFactor),
		AutoAssigner: t.Settings["coordinator.auto_assigner.enabled"] != "false",
		Placement: placement.Options{
			HashThreshold: positive(t.Settings["coordinator.hash_threshold"], placement.DefaultHashThreshold),
			Vnodes:        positive(t.Settings["coordinator.vnode_count"], placement.DefaultVnodes),
		},
	}
}

func positive(text string, otherwise int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		return otherwise
	}
	return n
}
