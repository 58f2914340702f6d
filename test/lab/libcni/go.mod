module underway.test/libcni

go 1.25

require github.com/containernetworking/cni v1.3.0
