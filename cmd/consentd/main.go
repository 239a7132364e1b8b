// Consentd is the replica that answers and records, and the command line that talks to it.
//
// Serve runs a replica. Every other command is a client: it speaks gRPC, knows no rule of the law, and prints what the server says.
// Data goes to standard output and messages to standard error, so that both can be redirected. DESIGN.md says how it is put together.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(runProcess())
}

// runProcess runs the command line with what the operating system gives. The first signal asks the command to end in good order; from
// then on signals have their usual effect, so that a second one ends the process at once.
func runProcess() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals) // before the command knows: whoever sees that it is about to end can be sure of the second signal
		cancel()
	}()
	return run(ctx, os.Args[1:], process{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ})
}
