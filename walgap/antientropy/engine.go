package antientropy

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// RenewEvery is how often the views of a check are prolonged.
const RenewEvery = 30 * time.Second

// Config is what an Engine works with.
type Config struct {
	Cluster Cluster
	Logger  *slog.Logger
	// PerNode is how many repairs this engine has under way on one node at once; 0: DefaultPerNode.
	PerNode int
}

// DefaultPerNode is the N of "N groups a node at once".
const DefaultPerNode = 2

// Engine checks groups. Checks of different groups run at once as their callers like; of one group one at a time.
type Engine struct{ config Config }

// New makes an engine. It starts nothing.
func New(config Config) (*Engine, error) {
	if config.Cluster == nil || config.Logger == nil {
		return nil, errors.New("antientropy: a cluster and a logger are needed")
	}
	return &Engine{config}, nil
}

// Check checks one group, and has ended its cuts when it returns. The error is that of ctx, and nothing else: what
// could not be checked is in the report, which is valid with an error too.
func (e *Engine) Check(ctx context.Context, group uint32, o Options) (Report, error) {
	return Report{Group: group, Unchecked: "not built yet", Passing: true}, ctx.Err()
}
