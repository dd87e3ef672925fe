package storage

import "context"

// Turns lets work on many bytes give way to what a node does for its clients. It waits until the work may begin; step is
// called between small pieces, by the same goroutine, and may wait too; end is called once. With an error each step gives
// it. No lock is held meanwhile that clients want, but a read transaction may be.
type Turns func(ctx context.Context) (step func() error, end func())

// begin is a turn whose steps ask goOn first; nil Turns make nobody wait.
func (t Turns) begin(ctx context.Context, goOn func() error) (step func() error, end func()) {
	if t == nil {
		return goOn, func() {}
	}
	next, end := t(ctx)
	return func() error {
		if err := goOn(); err != nil {
			return err
		}
		return next()
	}, end
}
