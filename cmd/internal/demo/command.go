package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// flotilla runs a command of the binary against all nodes, as a user would, and returns its exit code.
func (s *stage) flotilla(ctx context.Context, in []byte, args ...string) (out []byte, code int, err error) {
	var said bytes.Buffer
	c := exec.CommandContext(ctx, s.Binary, args...)
	c.Env = append(os.Environ(), "FLOTILLA_ADDR="+strings.Join(s.fleet.HTTPAddrs(), ","))
	c.Stdin, c.Stderr = bytes.NewReader(in), &said
	out, err = c.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && failed.Exited() {
		return out, failed.ExitCode(), nil
	}
	if err != nil {
		return out, -1, fmt.Errorf("flotilla %s: %w: %s", args[0], err, bytes.TrimSpace(said.Bytes()))
	}
	return out, 0, nil
}

// verified runs `verify --all` until it is clean.
func (s *stage) verified(ctx context.Context, when string) error {
	s.say.command("verify --all")
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var result api.VerifyResult
	code, runs := -1, 0
	for code != 0 && ctx.Err() == nil {
		runs++
		err := s.during(ctx, func() string { return fmt.Sprintf("verify --all, run %d", runs) },
			func(ctx context.Context) error {
				out, c, err := s.flotilla(ctx, nil, "verify", "--all", "-o", "json")
				if code = c; err == nil && len(out) > 0 {
					err = json.Unmarshal(out, &result)
				}
				return err
			})
		if err != nil && ctx.Err() == nil {
			return err
		}
		if code != 0 && len(result.Unchecked)+len(result.Findings) > 0 {
			s.say.line("run %d: %d of %d groups equal, %s", runs, result.GroupsEqual, result.GroupsTotal, firstReason(&result))
		}
	}
	s.score.check("verify --all is clean "+when, code == 0 && result.GroupsEqual == totalGroups,
		"%d of %d groups have equal roots on all replicas, run %d, %d ms", result.GroupsEqual, result.GroupsTotal, runs, result.DurationMs)
	return nil
}

// firstReason says why a result is not clean.
func firstReason(r *api.VerifyResult) string {
	if len(r.Findings) > 0 {
		f := r.Findings[0]
		return fmt.Sprintf("%d findings, of which group %d on %s: %s is %s", len(r.Findings), f.GroupID, f.Node, f.Kind, f.Verdict)
	}
	return fmt.Sprintf("%d unchecked, of which group %d: %s", len(r.Unchecked), r.Unchecked[0].GroupID, r.Unchecked[0].Reason)
}

// healthy waits until every group is led and has all its replicas ready.
func (s *stage) healthy(ctx context.Context) error {
	var err error
	var well int
	var leads map[string]int
	all := s.until(ctx, func() string { return fmt.Sprintf("%d of %d groups are healthy", well, totalGroups) },
		func() bool {
			groups, e := s.groups(ctx)
			if err = e; err != nil {
				return false
			}
			leads, well = leaders(groups)
			return len(groups) == totalGroups && well == totalGroups && complete(groups)
		})
	if err != nil {
		return err
	}
	s.score.check("256 groups, each with three replicas", all, "%d/%d groups healthy; %s", well, totalGroups, s.spread(leads))
	return nil
}

// complete reports whether every group has as many replicas as there are nodes.
func complete(groups []api.Group) bool {
	for i := range groups {
		if len(groups[i].Replicas) != nodes {
			return false
		}
	}
	return true
}
