namespace Penstock.Buffers;

/// <summary>
/// Memory that packet fragments point into: a slab of the pool, or pages of the application (zero-copy). Counted by
/// reference; when the last reference goes, <see cref="OnUnreferenced"/> gives the memory back to whoever it belongs to.
/// </summary>
internal abstract class PayloadOwner
{
    private int _references;

    /// <summary>Takes the first reference of an owner that nobody else can see yet.</summary>
    public void StartReferences() => Volatile.Write(ref _references, 1);

    /// <summary>The caller has the only reference: nobody else is left who could take another.</summary>
    protected bool IsOnlyReference => Volatile.Read(ref _references) == 1;

    protected void EndReferences() => _references = 0;

    public void AddReference() => Interlocked.Increment(ref _references);

    public void Release()
    {
        if (IsOnlyReference)
        {
            EndReferences();
            OnUnreferenced();
            return;
        }

        int left = Interlocked.Decrement(ref _references);
        if (left == 0)
        {
            OnUnreferenced();
        }
        else if (left < 0)
        {
            throw new InvalidOperationException("A payload reference was released twice; this is a defect in Penstock.");
        }
    }

    /// <summary>Somebody took a copy of these bytes instead of a reference, as a link inside this process does. Any thread.</summary>
    public virtual void NoteCopied()
    {
    }

    protected abstract void OnUnreferenced();
}
