using System.Runtime.CompilerServices;

namespace Snippets;

/// <summary>Snippets name files without a folder: those lie beside the program.</summary>
internal static class Folder
{
    [ModuleInitializer]
    internal static void Enter() => Directory.SetCurrentDirectory(AppContext.BaseDirectory);
}
