// Command latency measures KMS v2 servers with the client that kube-apiserver has: its own code on its own grpc-go, one
// connection, any number of calls in flight. bench/run has it as the client "grpc-go"; it prints JSON as kms_latency does.
//
// GOMAXPROCS and the garbage collector are left as they are by default, as kube-apiserver leaves them. Pin it with taskset.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

type options struct {
	empty, kekd string
	rounds      int
	calls       int
	inFlight    []int
	only        string
}

func parseOptions() (options, error) {
	o := options{}
	flag.StringVar(&o.empty, "empty", "", "socket of empty_server")
	flag.StringVar(&o.kekd, "kekd", "", "socket of kekd's keyring")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of all kinds of call")
	flag.IntVar(&o.calls, "calls", 2000, "calls of each kind in a round")
	flag.StringVar(&o.only, "only", "", "only the kinds of call that have this in their name, such as Encrypt")
	inFlight := flag.String("in-flight", "1,16", "calls in flight, one series for each number")
	flag.Parse()
	if flag.NArg() > 0 || o.empty+o.kekd == "" || o.rounds < 1 || o.calls < 1 {
		return o, fmt.Errorf("give --empty or --kekd or both, and at least one round of one call")
	}
	for _, text := range strings.Split(*inFlight, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 4096 {
			return o, fmt.Errorf("--in-flight: %q is not a number from 1 to 4096", text)
		}
		o.inFlight = append(o.inFlight, n)
	}
	return o, nil
}

// addServer adds the kinds of call to one server.
func addServer(ctx context.Context, o options, name, socket string, kinds []string, targets []*target) ([]*target, error) {
	if socket == "" {
		return targets, nil
	}
	c, err := connect(ctx, name, socket)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", socket, err)
	}
	cpu, err := cpuClockOfServer(socket)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", socket, err)
	}
	calls := map[string]call{"Encrypt": c.encrypt, "Decrypt": c.decrypt, "Status": c.status}
	for _, inFlight := range o.inFlight {
		for _, kind := range kinds {
			full := name + " " + kind
			if strings.Contains(full, o.only) {
				targets = append(targets, &target{name: full, inFlight: inFlight, call: calls[kind], serverCPU: cpu})
			}
		}
	}
	return targets, nil
}

func run(o options) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	targets, err := addServer(ctx, o, "empty", o.empty, []string{"Encrypt"}, nil)
	if err != nil {
		return err
	}
	targets, err = addServer(ctx, o, "kekd", o.kekd, []string{"Encrypt", "Decrypt", "Status"}, targets)
	if err != nil {
		return err
	}
	// The rounds are interleaved (A B C A B C), so that what else the machine does falls on all alike.
	for range o.rounds {
		for _, t := range targets {
			if err := t.measureRound(ctx, o.calls); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(map[string]any{
		"client": map[string]any{
			"go": runtime.Version(), "grpc": moduleVersion("google.golang.org/grpc"),
			"apiserver": moduleVersion("k8s.io/apiserver"), "gomaxprocs": runtime.GOMAXPROCS(0),
		},
		"series": report(targets, o.calls),
	})
}

func moduleVersion(path string) string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == path {
			return module.Version
		}
	}
	return "unknown"
}

func main() {
	o, err := parseOptions()
	if err != nil {
		fmt.Fprintf(os.Stderr, "latency: %v\n", err)
		flag.Usage()
		os.Exit(2)
	}
	if err := run(o); err != nil {
		fmt.Fprintf(os.Stderr, "latency: %v\n", err)
		os.Exit(1)
	}
}
