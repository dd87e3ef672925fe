package walgap

// Judge says how the gap between a leader and a target is closed, by the first condition that holds.
func Judge(l Leader, t Target, r Rates, m Mode) Verdict {
	return Verdict{}
}
