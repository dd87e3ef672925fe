package node

import (
	"context"
	"errors"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// processAdapter tells the HTTP face about this process.
type processAdapter struct{ node *Node }

// Ready implements httpapi.Node.
func (a processAdapter) Ready() (ready bool, missing []string, syncing int) {
	missing = a.node.ready.Missing()
	return len(missing) == 0, missing, a.node.ready.Syncing()
}

// Config implements httpapi.Node: every setting by key, secrets masked.
func (a processAdapter) Config() any {
	c := a.node.policyConfig()
	values := make(map[string]string)
	for _, s := range c.Effective() {
		values[s.Key] = s.Value
	}
	return values
}

// Settings implements httpapi.Node.
func (a processAdapter) Settings(context.Context) ([]api.Setting, error) {
	c := a.node.policyConfig()
	var rows []api.Setting
	for _, s := range c.Effective() {
		rows = append(rows, row(s))
	}
	return rows, nil
}

func row(s config.Effective) api.Setting {
	return api.Setting{
		Key: s.Key, Value: s.Value, Default: s.Default, Source: s.Source, Doc: s.Doc,
		ClusterWide: s.Scope == config.ScopeCluster.String() || s.Scope == config.ScopeEither.String(),
	}
}

// SetSetting implements httpapi.Node.
func (a processAdapter) SetSetting(ctx context.Context, key, value string) (api.Setting, error) {
	key, value, err := config.CheckClusterSetting(key, value)
	if err != nil {
		return api.Setting{}, api.E(api.InvalidArgument, "flotilla settings list", "%s", err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, a.node.cfg.WriteTimeout)
	defer cancel()
	table, err := a.node.dir.Confirm(ctx) // the settings in it are those in force now
	if err == nil {
		if err := a.node.cfg.CheckClusterChange(table.Settings, key, value); err != nil {
			return api.Setting{}, api.E(api.InvalidArgument, "nothing was changed; see `flotilla settings list`", "%s", err.Error())
		}
		err = directoryError(a.node.dir.SetSetting(ctx, key, value))
	}
	switch {
	case errors.Is(err, gateway.ErrUnknown):
		return api.Setting{}, api.E(api.OutcomeUnknown, "see `flotilla settings`", "%s may or may not be set", key).Because(err)
	case err != nil:
		return api.Setting{}, api.E(api.NoLeader, "retry; see `flotilla nodes`", "%s was not set", key).Because(err)
	}
	c := a.node.policyConfig()
	for _, s := range c.Effective() {
		if s.Key == key {
			return row(s), nil
		}
	}
	return api.Setting{}, api.E(api.Internal, "", "setting %s is not known", key)
}
