namespace Penstock.Tool.Demo.Backlog;
internal static class LiveAckWait { public static void Run(DemoSettings s, ExperimentReport r) { } }
