package main

import (
	"math"
	"slices"
	"strings"
)

// ratio is that of the medians over all rounds, with the least and greatest of a single round, which tell how far to trust it.
type ratio struct {
	Ratio    float64 `json:"ratio"`
	Least    float64 `json:"least"`
	Greatest float64 `json:"greatest"`
}

// series is one kind of call; the fields are those of kms_latency, and a few more.
type series struct {
	Name            string    `json:"name"`
	Client          string    `json:"client"`
	InFlight        int       `json:"inFlight"`
	CallsPerRound   int       `json:"callsPerRound"`
	P50Micros       float64   `json:"p50Micros"`
	P90Micros       float64   `json:"p90Micros"`
	P99Micros       float64   `json:"p99Micros"`
	P999Micros      float64   `json:"p999Micros"`
	ServerCPUMicros float64   `json:"serverCpuMicros"`
	ToEmpty         *ratio    `json:"toEmpty,omitempty"`
	RoundsP50Micros []float64 `json:"roundsP50Micros"`
}

// rounded is to hundredths: more would be noise.
func rounded(value float64) float64 { return math.Round(value*100) / 100 }

func (t *target) column(field func(round) float64) []float64 {
	values := make([]float64, len(t.rounds))
	for i, r := range t.rounds {
		values[i] = field(r)
	}
	return values
}

func p50(r round) float64 { return r.p50 }

func ratioOf(t, base *target) *ratio {
	numerators, denominators := t.column(p50), base.column(p50)
	each := make([]float64, len(numerators))
	for i := range each {
		each[i] = numerators[i] / denominators[i]
	}
	return &ratio{rounded(median(numerators) / median(denominators)), rounded(slices.Min(each)), rounded(slices.Max(each))}
}

// emptyFor is the empty call with as many in flight; nil if it was not measured.
func emptyFor(t *target, targets []*target) *target {
	at := slices.IndexFunc(targets, func(other *target) bool {
		return strings.HasPrefix(other.name, "empty ") && other.inFlight == t.inFlight
	})
	if at < 0 {
		return nil
	}
	return targets[at]
}

func report(targets []*target, calls int) []series {
	list := []series{}
	for _, t := range targets {
		over := func(field func(round) float64) float64 { return rounded(median(t.column(field))) }
		entry := series{
			Name: t.name, Client: "grpc-go", InFlight: t.inFlight, CallsPerRound: calls,
			P50Micros:       over(p50),
			P90Micros:       over(func(r round) float64 { return r.p90 }),
			P99Micros:       over(func(r round) float64 { return r.p99 }),
			P999Micros:      over(func(r round) float64 { return r.p999 }),
			ServerCPUMicros: over(func(r round) float64 { return r.serverCPU }),
		}
		if empty := emptyFor(t, targets); empty != nil {
			entry.ToEmpty = ratioOf(t, empty)
		}
		for _, value := range t.column(p50) {
			entry.RoundsP50Micros = append(entry.RoundsP50Micros, rounded(value))
		}
		list = append(list, entry)
	}
	return list
}
