//go:build !linux

package main

import "syscall"

// apart does nothing here.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
