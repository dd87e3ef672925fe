package server

import "testing"

func TestAnswersOfAStreamAreBounded(t *testing.T) {
	const answer = 200 << 10
	var held heldBytes
	taken := 0
	for held.take(answer) {
		if taken += answer; taken > maxHeldBytes {
			t.Fatalf("%d bytes are held, at most %d may be", taken, maxHeldBytes)
		}
	}
	if taken < maxHeldBytes-answer {
		t.Fatalf("no room beside %d bytes", taken)
	}
	if held.give(answer); !held.take(answer) {
		t.Fatal("what was sent makes no room")
	}
	if held.take(answer) {
		t.Fatal("a refusal made room")
	}
}
