module github.com/dealwright/dealwright

go 1.26.0
