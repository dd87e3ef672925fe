package syncing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/walgap"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// verdictLimit bounds one question for a verdict.
const verdictLimit = 3 * time.Second

// verdictAsk is a replica's question to its leader. No lease is taken for the
// answer: it says what to do first, and a job that copies plans anew.
type verdictAsk struct {
	Server membership.ServerID `json:"server"`
	Target walgap.Target       `json:"target"`
	Rates  walgap.Rates        `json:"rates"`
	Mode   walgap.Mode         `json:"mode"`
	// Ago is how old the report is, where it is what the replica held when its node
	// started; 0: it is of now.
	Ago time.Duration `json:"ago,omitempty"`
}

// verdictAnswer is what separates it from the leader.
type verdictAnswer struct {
	Verdict walgap.Verdict      `json:"verdict"`
	Leader  membership.ServerID `json:"leader"`
	Last    uint64              `json:"last"`   // of the leader's log
	Points  uint64              `json:"points"` // of its shard
	Spare   int                 `json:"spare"`  // live voters beside the asker, beyond a quorum
	Sources []string            `json:"sources"`
	// Election: all that the replica lacks is what the leader put there to lead, or
	// what was written later than the report.
	Election bool `json:"election"`
}

// asker asks the leaders of groups what separates this node's replicas from them.
type asker struct {
	config   *Config
	leaders  leaders
	meter    *resync.Meter
	replicas *replicas
}

// look asks for the verdict on this node's replica as it stands, and what it
// costs at a rate.
func (a *asker) look(ctx context.Context, group uint32, mode walgap.Mode, rate int64) (verdictAnswer, error) {
	r, err := a.replicas.of(group)
	if err != nil {
		return verdictAnswer{}, err
	}
	standing, err := r.Report(ctx)
	if err != nil {
		return verdictAnswer{}, err
	}
	return a.verdictOn(ctx, standing, mode, rate)
}

// verdictOn asks the leader of a group about a replica as it stands.
func (a *asker) verdictOn(ctx context.Context, s resync.Standing, mode walgap.Mode, rate int64) (verdictAnswer, error) {
	if node := a.config.Settings().Rate; node > 0 && (rate == 0 || node < rate) {
		rate = node
	}
	return a.askVerdict(ctx, verdictAsk{Server: s.Server, Target: s.Target, Rates: a.meter.Rates().Copying(rate), Mode: mode})
}

func (a *asker) askVerdict(ctx context.Context, q verdictAsk) (verdictAnswer, error) {
	ask, err := json.Marshal(q)
	if err != nil {
		return verdictAnswer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, verdictLimit)
	defer cancel()
	raw, leader, err := a.leaders.ask(ctx, q.Target.Group, methodVerdict, ask)
	if err != nil {
		if errors.Is(err, errNoLeaderKnown) {
			return verdictAnswer{}, err
		}
		return verdictAnswer{}, fmt.Errorf("node %s does not answer: %w", leader.Name, err)
	}
	var answer verdictAnswer
	if err := json.Unmarshal(raw, &answer); err != nil {
		return verdictAnswer{}, fmt.Errorf("verdict of node %s: %w", leader.Name, err)
	}
	return answer, nil
}
