package resync

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap"
)

// fetch gathers the leaves of the manifest in the stage file: those that differ from the sources, and, where a file
// that stands alone is built, the equal ones from the target's own. What an earlier attempt gathered and still matches
// is not fetched again. An equal leaf that cannot be read back is fetched after all.
func (j *job) fetch(ctx context.Context) (Outcome, error) {
	build, err := j.open(ctx)
	if err != nil {
		return 0, err
	}
	j.step(Fetch, "opened")
	for round := 0; ; round++ {
		staged, err := build.Staged(ctx)
		if err != nil {
			return 0, fmt.Errorf("list what is staged: %w", err)
		}
		want, copies := j.wanted(staged)
		if round == 0 {
			j.state.Kept = bytesOf(staged)
			if err := j.checkRoom(bytesOf(staged)); err != nil {
				return 0, err
			}
		}
		j.board.fetched(j.compared.WantBytes-bytesOf(want), nil)
		j.board.plan(Work{FetchBytes: bytesOf(want), CopyBytes: bytesOf(copies), ProofBytes: bytesOf(j.manifest), FixedS: switchS(j.rates())})
		if len(want) == 0 && len(copies) == 0 {
			break
		}
		if round == fetchRounds {
			return 0, fmt.Errorf("%d leaves are missing after %d rounds", len(want)+len(copies), round)
		}
		if err := j.pull(ctx, want); err != nil {
			return 0, err
		}
		if err := j.copyEqual(ctx, copies); err != nil {
			return 0, err
		}
	}
	j.step(Fetch, "gathered")
	return Passed, j.note()
}

// open opens the stage file for this manifest.
func (j *job) open(ctx context.Context) (Build, error) {
	j.closeBuild()
	build, err := j.held.Open(ctx, j.blueprint())
	if err != nil {
		return nil, fmt.Errorf("open the stage file: %w", err)
	}
	j.build = build
	return build, nil
}

func (j *job) blueprint() Blueprint {
	return Blueprint{Path: stagePath(j.dir), Lineage: j.remote.agreed().Lineage, Manifest: j.manifest, State: j.view.State,
		InPlace: j.state.InPlace}
}

// wanted is what is left to be fetched, and to be copied, when that is staged.
func (j *job) wanted(staged []digest.Entry) (want, copies []digest.Entry) {
	all := slices.Concat(j.compared.Missing, j.compared.Differing)
	slices.SortFunc(all, func(a, b digest.Entry) int { return a.Leaf.Compare(b.Leaf) })
	want = without(all, staged)
	if !j.state.InPlace {
		copies = without(j.compared.Equal, staged)
	}
	return want, copies
}

// checkRoom refuses a copy that would fill the disk before it has written a byte of it.
func (j *job) checkRoom(staged int64) error {
	if j.config.Room == nil {
		return nil
	}
	room, err := j.config.Room()
	if err != nil {
		return fmt.Errorf("ask for the disk's room: %w", err)
	}
	if need := roomFor(j.state.InPlace, j.compared, staged); need > room {
		return fmt.Errorf("%w: the copy needs %d MiB, %d MiB may be written", ErrNoRoom, need>>20, room>>20)
	}
	return nil
}

// pull fetches leaves. What was verified before an error stays.
func (j *job) pull(ctx context.Context, want []digest.Entry) error {
	if len(want) == 0 {
		return nil
	}
	kept := j.compared.WantBytes - bytesOf(want)
	j.board.fetched(kept, nil)
	before := slices.Clone(j.state.Sources)
	stored, began, from := int64(0), time.Now(), j.board.time()
	sink := func(source string, e digest.Entry, leaf []byte) error {
		if j.config.Hooks.Leaf != nil {
			leaf = j.config.Hooks.Leaf(j.req.ID, source, leaf)
		}
		if err := j.build.Put(leaf, e); err != nil {
			return err
		}
		stored += int64(e.Bytes)
		j.board.fetched(kept+stored, nil)
		j.step(Fetch, "fetching")
		return nil
	}
	progress := func(p FetchProgress) { j.board.fetched(kept+p.Bytes, addSources(before, p.Sources)) }
	result, err := j.config.Fetcher.Fetch(ctx, FetchPlan{Job: j.req.ID, Group: j.req.Group, CutID: j.cut.ID, Sources: j.sources,
		Want: want, LeaderShare: j.leaderShare(), Rate: j.req.Rate}, sink, progress)
	j.state.Sources = addSources(before, result.Sources)
	for _, name := range result.Blamed {
		if !slices.Contains(j.state.Blamed, name) && len(j.state.Blamed) < maxSources {
			j.state.Blamed = append(j.state.Blamed, name)
		}
	}
	j.board.edit(func(r *Row) { r.Sources = j.state.Sources })
	commit := j.build.Commit()
	took, given, limit := time.Since(began), j.board.time().busy-from.busy, j.limit()
	j.config.Rates.Observe(func(r walgap.Rates) walgap.Rates { return observeFetch(r, stored, took, seconds(given), limit) })
	if err != nil {
		return fmt.Errorf("fetch leaves: %w", err)
	}
	if commit != nil {
		return fmt.Errorf("commit leaves: %w", commit)
	}
	return nil
}

// leaderShare: what only the leader has, it gives.
func (j *job) leaderShare() float64 {
	if j.remote.kept().record {
		return 1
	}
	return j.req.LeaderShare
}

// copyEqual takes equal leaves from the target's own file. One that turns out to be bad there is fetched in the next
// round.
func (j *job) copyEqual(ctx context.Context, copies []digest.Entry) error {
	if len(copies) == 0 {
		return nil
	}
	from := j.board.time()
	err := j.build.Copy(ctx, copies, j.board.copied)
	if err != nil {
		return fmt.Errorf("copy equal leaves: %w", err)
	}
	if err := j.build.Commit(); err != nil {
		return fmt.Errorf("commit leaves: %w", err)
	}
	staged, err := j.build.Staged(ctx)
	if err != nil {
		return fmt.Errorf("list what is staged: %w", err)
	}
	bad := without(copies, staged)
	copied := bytesOf(copies) - bytesOf(bad)
	j.state.Copied += copied
	given := j.board.time().busy - from.busy
	j.config.Rates.Observe(func(r walgap.Rates) walgap.Rates { return r.WithStaging(uint64(copied), seconds(given)) })
	if len(bad) > 0 {
		j.suspect(leavesOf(bad))
		j.log.Warn("resync: leaves of the old file are not what it says of them", "leaves", len(bad))
	}
	return nil
}

// suspect takes leaves of the target's own file out of what is equal.
func (j *job) suspect(leaves []digest.Leaf) {
	bad := suspects(leaves)
	c := &j.compared
	c.Equal = slices.DeleteFunc(slices.Clone(c.Equal), func(e digest.Entry) bool {
		if !bad[e.Leaf] {
			return false
		}
		c.Differing = append(c.Differing, e)
		c.EqualBytes -= int64(e.Bytes)
		c.want(e.Bytes, 0)
		j.state.Suspects = append(j.state.Suspects, e.Leaf)
		return true
	})
	j.state.InPlace = j.state.InPlace && len(j.state.Suspects) == 0
	j.board.edit(func(r *Row) {
		r.LeavesEqual, r.LeavesDiffering, r.BytesTotal = int64(len(c.Equal)), int64(len(c.Differing)), c.WantBytes
	})
}

func leavesOf(list []digest.Entry) (leaves []digest.Leaf) {
	for _, e := range list {
		leaves = append(leaves, e.Leaf)
	}
	return leaves
}

// addSources adds up what each node gave.
func addSources(a, b []SourceBytes) []SourceBytes {
	sum := slices.Clone(a)
	for _, s := range b {
		at := slices.IndexFunc(sum, func(o SourceBytes) bool { return o.Node == s.Node })
		switch {
		case s.Bytes <= 0:
		case at < 0 && len(sum) < maxSources:
			sum = append(sum, s)
		case at >= 0:
			sum[at].Bytes += s.Bytes
		}
	}
	return sum
}
