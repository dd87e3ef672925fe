package antientropy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// check is one attempt to check one group. Its methods return an error where it was interrupted: then nothing is
// known, and nobody was blamed.
type check struct {
	engine  *Engine
	group   uint32
	options Options
	last    bool          // no attempt follows: who has no view of the cut is missing
	patient bool          // who is away can be waited for
	earlier []earlier     // what attempts before this one knew
	extra   []digest.Leaf // in question, whatever the digests say
	reads   string        // a node that reads everything again, "": none
	logger  *slog.Logger

	list   []*heard // one of each assigned replica
	cut    string
	place  Place
	trial  trial
	blames []*blame
	report Report
}

func (c *check) cluster() Cluster { return c.engine.config.Cluster }

// run is the whole of an attempt: at no cut if that is enough, then at one; and what was blamed is repaired.
func (c *check) run(ctx context.Context) error {
	if err := c.summon(ctx); err != nil {
		return err
	}
	if len(c.list) == 0 {
		c.report.Unchecked = "no replica is assigned"
		return nil
	}
	if c.options.Mode == Verify || c.options.Quick && !c.options.Deep && len(c.earlier) == 0 {
		if done, err := c.withoutCut(ctx); done || err != nil {
			return err
		}
	}
	if c.alone() {
		return nil // equal to nobody: a cut would tell nothing
	}
	if err := c.atCut(ctx); err != nil {
		c.blames = nil // nobody was marked: nobody is blamed
		return err
	}
	if c.options.Repair {
		c.repair(ctx)
	}
	return context.Cause(ctx)
}

// summon asks who is assigned.
func (c *check) summon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	members, err := c.cluster().Members(ctx, c.group)
	if err != nil {
		return fmt.Errorf("list the replicas: %w", err)
	}
	c.list = hear(members)
	return nil
}

// alone reports whether only one of several replicas can answer, and reading all of it was not asked for.
func (c *check) alone() bool {
	there := 0
	for _, h := range c.list {
		if h.err == nil {
			there++
		}
	}
	return there < 2 && len(c.list) > 1 && !c.options.Deep || there == 0
}

// atCut compares at a cut of its own, judges, and marks who is to blame. The cut has ended when it returns.
func (c *check) atCut(ctx context.Context) error {
	ctx, end, err := c.hold(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := c.compare(ctx); err != nil {
		return err
	}
	if err := c.judge(ctx); err != nil {
		return err
	}
	if c.report.Equal {
		c.agree(ctx)
	}
	return c.mark(ctx)
}

// compare gets the roots at the cut, and in a deep check has everything read again.
func (c *check) compare(ctx context.Context) error {
	var interrupted error
	ask(ctx, c.list, rootBound, func(ctx context.Context, h *heard) (Statement, error) {
		return c.cluster().Root(ctx, c.group, c.cut, h.Node)
	}, func(h *heard, said Statement, err error) {
		if err == nil && said.Index != c.place.Index {
			err = said.Place.at(Place{said.Lineage, c.place.Index})
		}
		h.said, h.err = said, err
		interrupted = c.interruption(interrupted, h, err)
	})
	if err := errors.Join(interrupted, context.Cause(ctx)); err != nil {
		return err
	}
	if at, ok := Commonest(c.rootOpinions()); ok {
		c.place = at
	}
	for _, h := range c.list {
		if h.err == nil {
			h.err = h.said.Place.at(c.place)
		}
		if h.err == nil {
			c.report.BytesCompared += h.said.Bytes
		}
	}
	return c.inspect(ctx, c.cut)
}

// inspect has everything read again: by all in a deep check, else by those that are suspect as a whole, who can
// be trusted again only after that.
func (c *check) inspect(ctx context.Context, cut string) error {
	var list []*heard
	for _, h := range c.list {
		if c.options.Deep || h.Node == c.reads || h.Suspect != nil && len(h.Suspect.Leaves) == 0 {
			list = append(list, h)
		}
	}
	var interrupted error
	ask(ctx, list, inspectBound, func(ctx context.Context, h *heard) (Inspected, error) {
		return c.cluster().Inspect(ctx, c.group, cut, h.Node)
	}, func(h *heard, found Inspected, err error) {
		c.read(found.BytesRead)
		if err == nil && cut != "" {
			err = found.Place.at(c.place)
		}
		if h.notRead = err; err == nil {
			h.inspected = &found
		}
		interrupted = c.interruption(interrupted, h, err)
	})
	return errors.Join(interrupted, context.Cause(ctx))
}

// interruption is the first error of some that means that the check has to be made again. In the last attempt there is
// none: who has no view is missing. Who is away is so when it has been waited for.
func (c *check) interruption(before error, h *heard, err error) error {
	switch {
	case before != nil:
		return before
	case c.patient && errors.Is(err, ErrAway):
		return &absence{h.Node, err}
	case !c.last && passes(err):
		return err
	}
	return nil
}

// rootOpinions are the replicas' opinions of the root.
func (c *check) rootOpinions() []Opinion {
	out := make([]Opinion, len(c.list))
	for i, h := range c.list {
		out[i] = h.opinion()
		out[i].Content = digest.LeafDigest{ID: h.said.Root}
		if h.inspected != nil && h.inspected.Structure != "" && out[i].Stance == Says {
			out[i].Stance = Blind
		}
	}
	return out
}

func (c *check) read(bytes int64) {
	c.report.BytesRead += bytes
	if c.options.Progress != nil && bytes > 0 {
		c.options.Progress(bytes)
	}
}

// finish makes the report.
func (c *check) finish() Report {
	r := c.report
	r.Place = c.place
	var why []string
	for _, h := range c.list {
		err := h.err
		if err == nil && c.options.Deep && h.notRead != nil {
			err = fmt.Errorf("not all of it was read: %w", h.notRead)
		}
		if err == nil {
			continue
		}
		r.Missing = append(r.Missing, h.Node)
		r.Passing = r.Passing || passes(err) || errors.Is(err, ErrAway) || errors.Is(err, context.DeadlineExceeded)
		if len(why) < maxMissing {
			why = append(why, fmt.Sprintf("%s: %s", h.Node, text(err.Error())))
		}
	}
	if r.Unchecked == "" {
		r.Unchecked = strings.Join(why, "; ")
	}
	slices.Sort(r.Missing)
	c.findings(&r)
	r.Equal = r.Equal && r.Unchecked == "" && (!r.Damaged || r.Repaired)
	return r
}
