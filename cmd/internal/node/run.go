package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/cmd/internal/version"
)

// Run runs a node until ctx ends or it fails, and takes it down within
// StopLimit. The banner goes to standard output, the log to standard error.
func Run(ctx context.Context, cfg config.Config) error {
	logger := newLogger(os.Stderr, cfg)
	slog.SetDefault(logger)
	for _, w := range cfg.Warnings {
		logger.Warn(w)
	}
	n, err := Start(cfg, Options{Build: version.This(), Logger: logger, SyncHooks: pauses()})
	if err != nil {
		return err
	}
	n.banner(os.Stdout)
	go n.announceReady(ctx, os.Stdout)       // ends with ctx
	go tuneCollector(ctx, n.syncs.Copying()) // ends with ctx
	select {
	case <-ctx.Done():
		logger.Info("stopping")
		began := time.Now()
		err = n.Close()
		logger.Info("stopped", "took", time.Since(began).Round(time.Millisecond))
		return err
	case err = <-n.Failed():
		if isFinal(err) { // refused by the others: what is here is sound
			return errors.Join(err, n.Close())
		}
		// A disk that fails must not be written any more: no flush, no farewell.
		logger.Error("the node stops at once", "err", err)
		return err
	}
}

func newLogger(out io.Writer, cfg config.Config) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // checked when the config was loaded
	options := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}
