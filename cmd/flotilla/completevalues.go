package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/lineproto"
)

// completeWithin bounds how long a completion waits for a node: a person waits for it.
const completeWithin = 700 * time.Millisecond

// fixedValues are the values of flags that are words, by the flag's name.
var fixedValues = map[string][]string{
	"output":      outputFormats,
	"format":      {lineproto.FormatLine, lineproto.FormatCSV, lineproto.FormatNDJSON},
	"precision":   {"ns", "us", "ms", "s", "m", "h"},
	"order":       orders,
	"consistency": consistencies,
	"agg":         aggregations,
	"mode":        {api.ModeAdvancedVerify, api.ModeVerify},
	"top":         {"lag", "size", "writes"},
	"state":       {"active", "syncing", "rebalancing"},
	"log-engine":  {config.LogEngineShared, config.LogEngineBoltDB},
	"log-level":   {"debug", "info", "warn", "error"},
	"log-format":  {"text", "json"},
}

// flagValues are what may stand behind a flag.
func flagValues(path []string, f cli.Flag, before []string) []string {
	if f == nil {
		return nil
	}
	switch name := f.Names()[0]; {
	case name == "mode" && path[0] != "verify":
		return slices.Clone(resyncModes)
	case name == "format" && path[0] == "check":
		return slices.Clone(checkFormats)
	case name == "kind" && path[0] == "drill":
		return slices.Clone(api.DrillKinds)
	case name == "group" && path[0] == "drill":
		return ask(before, "/v1/admin/groups", "groups", "group_id")
	case fixedValues[name] != nil:
		return slices.Clone(fixedValues[name])
	case name == "db" && path[0] != "bench":
		return ask(before, "/v1/databases", "databases", "name")
	case name == "collection" && path[0] != "bench":
		if db := valueOf(before, "db"); db != "" {
			return ask(before, "/v1/databases/"+segment(db)+"/collections", "collections", "name")
		}
	case (path[0] == "groups" || path[0] == "drill") && name == "node", path[0] == "group" && (name == "to" || name == "from"),
		path[0] == "resync" && (name == "target" || name == "from"), path[0] == "jobs" && name == "target":
		return ask(before, "/v1/admin/nodes", "nodes", "name")
	}
	return nil
}

// argumentValues are what may stand as an argument of a command.
func argumentValues(path []string, before []string) []string {
	switch strings.Join(path, " ") {
	case "completion":
		return slices.Sorted(maps.Keys(completionScripts))
	case "settings set":
		if len(before) > 0 && before[len(before)-1] == "set" {
			return clusterKeys()
		}
	case "group", "group show", "group step-down", "group trim", "group move", "resync", "verify":
		return ask(before, "/v1/admin/groups", "groups", "group_id")
	case "job", "job show", "job cancel":
		return ask(before, "/v1/admin/jobs", "jobs", "id")
	case "database set", "database drop", "collections":
		return ask(before, "/v1/databases", "databases", "name")
	}
	return nil
}

// clusterKeys are what `settings set` takes.
func clusterKeys() []string {
	var keys []string
	for _, s := range config.Settings() {
		if s.Scope == config.ScopeCluster || s.Scope == config.ScopeEither {
			keys = append(keys, s.Key)
		}
	}
	return keys
}

// valueOf finds the value of a flag among the words of a line.
func valueOf(words []string, flag string) string {
	for i, w := range words {
		name, value, attached := cutFlag(w)
		switch {
		case !looksLikeFlag(w) || name != flag:
		case attached:
			return value
		case i+1 < len(words):
			return words[i+1]
		}
	}
	return ""
}

// ask gives a field of every object of a list, nothing where no node answers at once.
func ask(before []string, path, list, field string) []string {
	given := environmentAddresses()
	if addr := valueOf(before, "addr"); addr != "" {
		given = splitAddresses(addr)
	}
	client, err := apiclient.New(given, completeWithin)
	if err != nil {
		return nil
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
	defer cancel()
	var answer map[string]json.RawMessage
	var items []map[string]any
	if _, err := client.Get(ctx, path, url.Values{"limit": {"1000"}}, &answer); err != nil || json.Unmarshal(answer[list], &items) != nil {
		return nil
	}
	var out []string
	for _, item := range items {
		out = append(out, fmt.Sprint(item[field]))
	}
	return out
}
