// One after another: a program that one test starts holds, between fork and exec, a copy of every descriptor of this process, so that
// another test's device would outlive its link for a moment.
[assembly: CollectionBehavior(CollectionBehavior.CollectionPerAssembly)]
