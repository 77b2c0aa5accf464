package main

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

const warmUpShare = 10 // a tenth of the calls goes before each round, unmeasured

type call func(context.Context) error

// round holds microseconds: percentiles of the calls of one round, and the server's CPU time for one of them.
type round struct {
	p50, p90, p99, p999, serverCPU float64
}

// target is one kind of call with one number of calls in flight.
type target struct {
	name      string
	inFlight  int
	call      call
	serverCPU cpuClock
	rounds    []round
}

func (t *target) measureRound(ctx context.Context, calls int) error {
	if _, err := t.callMany(ctx, calls/warmUpShare); err != nil {
		return err
	}
	begin, err := t.serverCPU.micros()
	if err != nil {
		return err
	}
	micros, err := t.callMany(ctx, calls)
	if err != nil {
		return err
	}
	end, err := t.serverCPU.micros()
	if err != nil {
		return err
	}
	slices.Sort(micros)
	t.rounds = append(t.rounds, round{
		p50: percentile(micros, 50), p90: percentile(micros, 90), p99: percentile(micros, 99), p999: percentile(micros, 99.9),
		serverCPU: (end - begin) / float64(len(micros)),
	})
	return nil
}

// callMany keeps as many calls in flight as the target says; returns what each of them took.
func (t *target) callMany(ctx context.Context, calls int) ([]float64, error) {
	if t.inFlight == 1 {
		return callInTurn(ctx, t.call, calls)
	}
	times := make([][]float64, t.inFlight)
	errs := make([]error, t.inFlight)
	var callers sync.WaitGroup
	for i := range t.inFlight {
		share := (calls + i) / t.inFlight // together exactly `calls`
		callers.Go(func() { times[i], errs[i] = callInTurn(ctx, t.call, share) })
	}
	callers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(times...), nil
}

func callInTurn(ctx context.Context, call call, calls int) ([]float64, error) {
	micros := make([]float64, calls)
	begin := time.Now()
	for i := range micros {
		if err := call(ctx); err != nil {
			return nil, err
		}
		end := time.Now()
		micros[i] = float64(end.Sub(begin)) / 1e3
		begin = end
	}
	return micros, nil
}

// percentile is that of nearest rank, of sorted values.
func percentile(sorted []float64, p float64) float64 {
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

func median(values []float64) float64 {
	return percentile(slices.Sorted(slices.Values(values)), 50)
}
