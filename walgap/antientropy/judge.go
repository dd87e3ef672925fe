package antientropy

import (
	"cmp"
	"slices"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Stance is whether a replica has an opinion.
type Stance uint8

// The stances.
const (
	Missing Stance = iota // it did not answer: equal to nobody
	Blind                 // it has the place, and cannot read what is asked: no opinion
	Says
)

// Opinion is what one assigned replica says of one leaf (or of its root) at a place. There is one of each assigned
// replica; who leads is not in it.
type Opinion struct {
	Node   string
	Voter  bool
	Stance Stance
	Place  Place
	// Content is what it says; the zero one is a leaf without points, which is an opinion like any other.
	Content digest.LeafDigest
}

// Ruling is what the judge says of one leaf. The lists have the order of the opinions.
type Ruling struct {
	// Right is what the leaf holds, valid where Good is not empty.
	Right digest.LeafDigest
	// Majority: more than half of the assigned voters say Right. Otherwise nobody is wrong by it.
	Majority   bool
	Good       []string // who says what is right, and may be copied from
	Wrong      []string
	Unreadable []string // with Good: to be repaired from it. Without: nobody can tell with what
	Disputed   []string // who contradict each other, and no majority tells who is wrong
}

// Clean reports whether there is nothing to blame anybody for.
func (r Ruling) Clean() bool { return len(r.Wrong)+len(r.Unreadable)+len(r.Disputed) == 0 }

// Judge rules on one leaf.
//
//  1. Only what was said at the place counts; who stands elsewhere is missing.
//  2. What more than half of the assigned voters say, whoever of them answered, is right. Who says something else is wrong.
//  3. Without such a majority, and if all who can read say the same, that is enough to mend what cannot be read: rot needs
//     no majority to be seen. But not while more voters are missing than say it: they could be a healthy majority that
//     holds something else.
//  4. Otherwise those who say something are disputed, and nothing is repaired.
//
// So while more than half of the voters are healthy, none of them is blamed, and nothing but what they hold is copied.
func Judge(place Place, opinions []Opinion) Ruling {
	votes := map[digest.LeafDigest]int{}
	voters, missing := 0, 0
	for _, o := range opinions {
		stance := o.at(place)
		if stance == Says {
			votes[o.Content] += 0 // known, with or without a vote
		}
		if !o.Voter {
			continue
		}
		voters++
		switch stance {
		case Says:
			votes[o.Content]++
		case Missing:
			missing++
		}
	}
	var r Ruling
	known := false
	for content, n := range votes {
		switch {
		case 2*n > voters:
			r.Right, r.Majority, known = content, true, true
		case len(votes) == 1 && n > 0 && n >= missing:
			r.Right, known = content, true
		}
	}
	r.sort(place, opinions, known, len(votes) > 1)
	return r
}

// sort puts each opinion into its list. Contradicted: there are several contents.
func (r *Ruling) sort(place Place, opinions []Opinion, known, contradicted bool) {
	for _, o := range opinions {
		switch o.at(place) {
		case Blind:
			r.Unreadable = append(r.Unreadable, o.Node)
		case Says:
			switch {
			case known && o.Content == r.Right:
				r.Good = append(r.Good, o.Node)
			case known:
				r.Wrong = append(r.Wrong, o.Node)
			case contradicted:
				r.Disputed = append(r.Disputed, o.Node)
			}
		}
	}
}

// at is the stance at a place.
func (o *Opinion) at(place Place) Stance {
	if o.Place != place {
		return Missing
	}
	return o.Stance
}

// Settle decides a dispute by what the log alone says the leaf holds. It stays disputed if nobody holds that.
func Settle(place Place, opinions []Opinion, r Ruling, replayed digest.LeafDigest) Ruling {
	holds := func(o Opinion) bool { return o.Voter && o.at(place) == Says && o.Content == replayed }
	if len(r.Disputed) == 0 || !slices.ContainsFunc(opinions, holds) {
		return r
	}
	settled := Ruling{Right: replayed}
	settled.sort(place, opinions, true, true)
	return settled
}

// Commonest is the place at which the most voters stand, then the most replicas; of several the one with the higher index.
func Commonest(opinions []Opinion) (at Place, ok bool) {
	count := map[Place]int{}
	for _, o := range opinions {
		if o.Stance == Missing {
			continue
		}
		count[o.Place]++
		if o.Voter {
			count[o.Place] += len(opinions)
		}
	}
	places := make([]Place, 0, len(count))
	for p := range count {
		places = append(places, p)
	}
	if len(places) == 0 {
		return Place{}, false
	}
	return slices.MaxFunc(places, func(a, b Place) int {
		return cmp.Or(cmp.Compare(count[a], count[b]), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Lineage, b.Lineage))
	}), true
}

// AllEqual reports whether every assigned replica was heard at the place, and all say the same. That is a proof.
func AllEqual(place Place, opinions []Opinion) bool {
	for _, o := range opinions {
		if o.at(place) != Says || o.Content != opinions[0].Content {
			return false
		}
	}
	return len(opinions) > 0
}
