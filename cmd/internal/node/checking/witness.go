package checking

import (
	"context"
	"time"
)

// witnessLimit bounds the wait for replicas' roots at the cut of a copy.
const witnessLimit = 30 * time.Second

// Witness has the replicas of a group tell their roots at the cut of a copy, but that on one node, so that the group shows
// whether they are equal without a check of its own: their digests are mostly known, and what is read for those that are not
// is what the next check need not read. Replicas that differ are checked at once.
func (s *Suspects) Witness(ctx context.Context, group uint32, cut, except string) {
	ctx, cancel := context.WithTimeout(ctx, witnessLimit)
	defer cancel()
	if equal := s.config.Checks.RootsAt(ctx, group, cut, except); !equal {
		s.config.Logger.Warn("replicas differ at the cut of a copy", "group", group)
		s.Check(group)
	}
}
