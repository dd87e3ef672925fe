package pause

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A pause is as long as it was asked for, and no longer than the context, whose reason it gives. One of nothing never hides
// that the context has ended.
func TestPauseEndsInTimeOrWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("enough")
		begin := time.Now()
		if err := For(t.Context(), time.Minute); err != nil || time.Since(begin) != time.Minute {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		begin = time.Now()
		if err := For(ctx, time.Minute); !errors.Is(err, why) || time.Since(begin) != time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		for range 100 {
			if err := For(ctx, 0); !errors.Is(err, why) {
				t.Fatal(err)
			}
		}
		if err := For(t.Context(), -time.Second); err != nil {
			t.Error(err)
		}
	})
}
