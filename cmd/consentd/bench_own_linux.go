package main

import "syscall"

// apart gives a process a group of its own, and has it end with this one.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
