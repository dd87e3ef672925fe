package raftgroup

import (
	"testing"
)

func TestTermTally(t *testing.T) {
	yes, higher, absent := termAnswer{here: true, term: 5}, termAnswer{here: true, term: 6}, termAnswer{}
	tests := []struct {
		name      string
		voters    int
		selfVotes bool
		answers   []termAnswer
		want      TermVerdict
	}{
		{"SoleVoter", 1, true, nil, TermConfirmed},
		{"NobodyAnsweredYet", 3, true, nil, TermOpen},
		{"OneOfTwoOthers", 3, true, []termAnswer{yes}, TermConfirmed},
		{"OlderTermCounts", 3, true, []termAnswer{{here: true, term: 4}}, TermConfirmed},
		{"HigherTerm", 3, true, []termAnswer{higher}, TermDeposed},
		{"HigherTermBehindAnAbsentOne", 3, true, []termAnswer{absent, higher}, TermDeposed},
		{"BothAbsent", 3, true, []termAnswer{absent, absent}, TermUnreached},
		{"OneAbsentOneYes", 3, true, []termAnswer{absent, yes}, TermConfirmed},
		{"TwoVotersOtherAbsent", 2, true, []termAnswer{absent}, TermUnreached},
		{"LeaderThatIsNoVoterNeedsTwoOfThree", 3, false, []termAnswer{yes}, TermOpen},
		{"FiveVotersTwoYes", 5, true, []termAnswer{yes, yes}, TermConfirmed},
		{"NoVoters", 0, false, nil, TermUnreached},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tally := newTermTally(5, tt.voters, tt.selfVotes)
			got := tally.verdict()
			for _, a := range tt.answers {
				if got == TermOpen {
					got = tally.answer(a)
				}
			}
			if got != tt.want {
				t.Errorf("verdict %d, want %d", got, tt.want)
			}
		})
	}
}

func TestReaderJoinsNoCheckThatAsksAlready(t *testing.T) {
	c := newTermCheck(5, 3, true)
	if !c.joinable(5) || c.joinable(6) {
		t.Fatal("a check nobody was asked for yet takes readers of its own term only")
	}
	if !c.markSent() {
		t.Fatal("an open check needs its answers")
	}
	if c.joinable(5) {
		t.Fatal("an answer may be older than a reader that joins now")
	}
}

func TestTermFramesRoundTrip(t *testing.T) {
	questions := []termQuestion{{1, 0, lineageOne}, {255, 3, ""}, {1<<32 - 1, 1<<32 - 1, lineageTwo}}
	got, err := decodeTermQuestions(appendTermQuestions(nil, questions))
	if err != nil || len(got) != len(questions) {
		t.Fatalf("questions: %v, %v", got, err)
	}
	for i := range got {
		if got[i] != questions[i] {
			t.Errorf("question %d is %+v, want %+v", i, got[i], questions[i])
		}
	}
	answers := []termAnswer{{}, {here: true}, {here: true, term: 77}}
	back, err := decodeTermAnswers(appendTermAnswers(nil, answers), len(answers))
	if err != nil {
		t.Fatal(err)
	}
	for i := range back {
		if back[i] != answers[i] {
			t.Errorf("answer %d is %+v, want %+v", i, back[i], answers[i])
		}
	}
	if _, err := decodeTermAnswers(appendTermAnswers(nil, answers), 2); err == nil {
		t.Error("answers to other questions are taken")
	}
}

func FuzzTermFrames(f *testing.F) {
	f.Add(appendTermQuestions(nil, []termQuestion{{1, 0, lineageOne}}))
	f.Add(appendTermAnswers(nil, []termAnswer{{here: true, term: 9}}))
	f.Add(standing{here: true, voter: true, currentTerm: 3}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := decodeTermQuestions(b); err == nil {
			if again, err := decodeTermQuestions(appendTermQuestions(nil, q)); err != nil || len(again) != len(q) {
				t.Errorf("decoded %v, then %v, %v", q, again, err)
			}
		}
		_, _ = decodeTermAnswers(b, 3)
		if s, err := decodeStanding(b); err == nil {
			if again, err := decodeStanding(s.append(nil)); err != nil || again != s {
				t.Errorf("decoded %+v, then %+v, %v", s, again, err)
			}
		}
	})
}
