package config

import (
	"fmt"
	"strings"
)

// DidYouMean returns " (did you mean \"x\"?)" with the word of known that is nearest to wrong, or an empty string when
// none is near.
func DidYouMean(wrong string, known []string) string {
	best, distance := "", len(wrong)/3+2 // a word this far off is another word
	if len(wrong) < 5 {
		distance = 2
	}
	for _, k := range known {
		if strings.HasSuffix(k, "."+wrong) { // the right name without its section
			return fmt.Sprintf(" (did you mean %q?)", k)
		}
		if d := editDistance(wrong, k); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// editDistance is Levenshtein's, over bytes: keys are ASCII.
func editDistance(a, b string) int {
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		diagonal := previous[0]
		previous[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = previous[j+1]
			previous[j+1] = min(cost, diagonal+1, previous[j]+1)
		}
	}
	return previous[len(b)]
}
