package config

import (
	"errors"
	"fmt"
	"maps"
)

// SourceCluster marks a value that the meta group holds.
const SourceCluster Source = "cluster"

// CheckClusterSetting is the rule of `settings set KEY VALUE`: it returns the key and the value in the form that is
// kept, or why they are refused. Only cluster-wide settings can be set while the cluster runs.
func CheckClusterSetting(key, value string) (canonicalKey, canonicalValue string, err error) {
	setting, ok := Find(key)
	if !ok {
		return "", "", fmt.Errorf("unknown setting %q%s", key, Nearest(key))
	}
	switch setting.Scope {
	case ScopeNode:
		return "", "", fmt.Errorf("%s belongs to each node: give it at its start (--%s, %s or the file)",
			setting.Key, setting.Flag(), setting.Env())
	case ScopeBootstrap:
		return "", "", fmt.Errorf("%s was fixed when the cluster was made", setting.Key)
	}
	scratch := Defaults()
	if err := setting.set(&scratch, value); err != nil {
		return "", "", fmt.Errorf("%s: %w", setting.Key, err)
	}
	return setting.Key, setting.get(&scratch), nil
}

// CheckClusterChange refuses one change of the settings that the meta group holds, where its result would break a rule
// between them. key and value are as CheckClusterSetting returned them.
func (c *Config) CheckClusterChange(clusterSettings map[string]string, key, value string) error {
	settings := maps.Clone(clusterSettings)
	if settings == nil {
		settings = map[string]string{}
	}
	settings[key] = value
	changed, err := c.With(settings)
	if err != nil {
		return err
	}
	return changed.checkCluster()
}

// With returns a copy of c in which the cluster-wide settings are those that the meta group holds. Keys that this
// binary does not know are left out: a newer node may have set them. So are values that it does not take, which an older
// one may have: the error names them, and the others hold.
func (c *Config) With(clusterSettings map[string]string) (Config, error) {
	changed := *c
	changed.sources = maps.Clone(c.sources)
	var refused []error
	for key, value := range clusterSettings {
		setting, ok := Find(key)
		if !ok || setting.Scope == ScopeNode {
			continue
		}
		if setting.Scope == ScopeEither && c.Source(setting.Key) != SourceDefault {
			continue // this node was given its own
		}
		if err := setting.set(&changed, value); err != nil {
			refused = append(refused, fmt.Errorf("cluster setting %s: %w", key, err))
			continue
		}
		changed.sources[setting.Key] = SourceCluster
	}
	return changed, errors.Join(refused...)
}

// ClusterValues returns what a new cluster starts with: every setting that the meta group keeps, by key. Settings of
// either scope are kept there only once somebody sets them.
func (c *Config) ClusterValues() map[string]string {
	values := map[string]string{}
	for _, s := range registry {
		if s.Scope == ScopeCluster || s.Scope == ScopeBootstrap {
			values[s.Key] = s.get(c)
		}
	}
	return values
}
