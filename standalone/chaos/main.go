// Command chaos runs the engine in its production shape as separate processes, kills and cuts what can be killed and cut while a load
// drives lifecycles through it, and proves afterwards that nothing was lost, doubled or out of order:
//
//	make chaos
//	cd standalone && go run ./chaos -seed 7 -duration 10m
//	cd standalone && go run ./chaos -faults kill-worker,partition -short
//
// The order of faults and whom they hit come from the seed, which is printed. Progress goes to stderr, the table to stdout. The exit
// status is not 0 where a promise was broken; the logs of all processes are kept then.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	o, err := readOptions(os.Args[1:])
	if err == nil {
		err = run(ctx, o, os.Stdout)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func progressf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}
